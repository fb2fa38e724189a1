// A child process of `ingest.ts`: keep-alive connections that each send one delivery after another for a while. It builds no object per
// request and reads of an answer only where it ends, because it lives on the cores of what it measures.
import { createHmac, randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import { percentile } from './rounds.ts'

export interface LoadOrder {
  readonly port: number
  readonly connections: number
  readonly warmUpMs: number
  readonly ms: number
  readonly secret: string
  readonly event: string
  /** JSON */
  readonly body: string
}

export interface LoadFigures {
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  /** answers that are no 202 */
  readonly refused: number
}

process.on('message', (order: LoadOrder) => {
  void (async () => process.send?.(await load(order)))()
})
process.on('disconnect', () => process.exit())

async function load({ port, connections, warmUpMs, ms, secret, event, body }: LoadOrder): Promise<LoadFigures> {
  const raw = Buffer.from(body)
  const signature = createHmac('sha256', secret).update(raw).digest('hex')
  const head = [
    'POST /webhooks/github HTTP/1.1',
    'host: 127.0.0.1',
    'content-type: application/json',
    `content-length: ${raw.byteLength}`,
    `x-github-event: ${event}`,
    `x-hub-signature-256: sha256=${signature}`,
    'x-github-delivery: ',
  ].join('\r\n')
  const began = performance.now()
  const [from, until] = [began + warmUpMs, began + warmUpMs + ms]
  const took: number[] = []
  let refused = 0
  const run = `${randomUUID().slice(0, 23)}-`
  let serial = 0
  const one = () =>
    new Promise<void>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1').setNoDelay(true)
      let sentAt = 0
      let answer = ''
      const send = () => {
        sentAt = performance.now()
        if (sentAt >= until) {
          socket.destroy()
          resolve()
          return
        }
        serial += 1
        answer = ''
        socket.cork()
        socket.write(`${head}${run}${String(serial).padStart(12, '0')}\r\n\r\n`)
        socket.write(raw)
        socket.uncork()
      }
      socket.on('connect', send).on('error', reject)
      socket.on('data', (chunk) => {
        answer += chunk.toString('latin1')
        const end = answer.indexOf('\r\n\r\n')
        const length = Number(/content-length: (\d+)/i.exec(answer)?.[1] ?? 0)
        if (end === -1 || answer.length < end + 4 + length) return
        const now = performance.now()
        if (!answer.startsWith('HTTP/1.1 202')) refused += 1
        else if (sentAt >= from && now <= until) took.push(now - sentAt)
        send()
      })
    })
  await Promise.all(Array.from({ length: connections }, one))
  return { perSecond: (took.length / ms) * 1_000, p50: percentile(took, 0.5), p99: percentile(took, 0.99), refused }
}
