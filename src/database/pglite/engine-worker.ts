import { parentPort, workerData } from 'node:worker_threads'
import { reasonOf } from '../../kernel/errors.ts'
import { machineTime, SteadyTime } from '../../kernel/steady-time.ts'
import { LocalEngine, type EngineOptions } from './engine.ts'
import type { Answer, Call } from './worker-engine.ts'

// The thread that owns PGlite: a statement keeps a thread busy until it is done, and that must not be the one that answers webhooks.
if (parentPort === null) throw new Error('engine-worker.ts runs in a worker thread only')
const port = parentPort
const post = (answer: Answer) => port.postMessage(answer)

// PGlite asks here for the time, in this thread alone. Were it to jump with the machine's, what falls due in a minute would do so at
// once, or after the hour by which somebody has set the clock back.
const wall = Date.now.bind(Date)
const time = new SteadyTime({ followMs: 60_000, sources: { ...machineTime, wall } })
Date.now = () => Math.floor(time.now())

try {
  const engine = await LocalEngine.open(workerData as EngineOptions, (channel, payload) =>
    post({ kind: 'notify', channel, payload }),
  )
  port.on('message', (call: Call) => {
    serve(engine, call).then(
      (value) => post({ kind: 'done', id: call.id, value }),
      (error: unknown) => post({ kind: 'failed', id: call.id, ...describe(error) }),
    )
  })
  post({ kind: 'open' })
} catch (error) {
  post({ kind: 'refused', ...describe(error) })
  port.close()
}

async function serve(engine: LocalEngine, call: Call): Promise<unknown> {
  if (call.kind === 'run') return engine.run(call.text, call.params)
  if (call.kind === 'script') return engine.script(call.text)
  if (call.kind === 'dump') return engine.dump()
  await engine.close()
  // Lets the thread end once the answer is out.
  setImmediate(() => port.close())
  return undefined
}

/** An Error loses its own fields when it is posted; those of a DatabaseError are the SQLSTATE and the constraint. */
function describe(error: unknown): { message: string; fields: Record<string, string> } {
  const fields = Object.entries(error instanceof Error ? error : {}).filter(([, value]) => typeof value === 'string')
  return { message: reasonOf(error), fields: Object.fromEntries(fields) }
}
