import { randomUUID } from 'node:crypto'
import type { StoryRow } from '../../http/rows.ts'
import type { Rehearsal } from '../../processes/rehearsal.ts'
import type { DeliveryAnswer } from '../../sandbox/deliver.ts'
import { day, dayPullFiles, type Scene } from '../../sandbox/day/day.ts'
import type { Client } from '../client.ts'
import { ms, paint, plural, state } from '../print.ts'
import { hops } from '../story.ts'

const settleMs = 40_000

/** Makes what the day speaks of exist in the sandbox: a pull request whose files can be read. */
export function prepareDay({ sandbox }: Rehearsal): void {
  for (const scene of day())
    if (scene.kind === 'delivery') sandbox.github.seedFromWebhook(scene.body, { files: dayPullFiles })
}

/** Plays the scenes and tells each as the records tell it. */
export class ReplayDay {
  readonly #rehearsal: Rehearsal
  readonly #client: Client
  readonly #say: (text: string) => void
  readonly #sent = new Map<string, { readonly delivery: string; readonly event: string; readonly body: object }>()
  #received = 0

  constructor(rehearsal: Rehearsal, client: Client, say: (text: string) => void) {
    this.#rehearsal = rehearsal
    this.#client = client
    this.#say = say
  }

  async play(): Promise<void> {
    for (const [at, scene] of day().entries()) {
      this.#say(paint.bold(`${at + 1}. ${scene.title}`))
      await this.#scene(scene)
      this.#say('')
    }
  }

  async #scene(scene: Scene): Promise<void> {
    switch (scene.kind) {
      case 'delivery':
        return this.#delivery(scene.title, scene.event, scene.body)
      case 'redelivery':
        return this.#redelivery(scene.of)
      case 'forged':
        return this.#refused(await this.#rehearsal.send(scene.event, scene.body, { secret: 'a guess' }))
      case 'unsigned':
        return this.#refused(
          await this.#rehearsal.send(scene.event, scene.body, { headers: { 'x-hub-signature-256': undefined } }),
        )
      case 'broken':
        return this.#broken(await this.#rehearsal.send(scene.event, scene.body))
      case 'burst':
        return this.#burst(scene)
    }
  }

  async #delivery(title: string, event: string, body: object): Promise<void> {
    const delivery = randomUUID()
    const answer = await this.#rehearsal.send(event, body, { delivery })
    this.#sent.set(title, { delivery, event, body })
    const ids = this.#accepted(answer, event)
    await this.#rehearsal.settled(this.#received, settleMs)
    for (const id of ids) await this.#tell(id)
  }

  async #redelivery(of: string): Promise<void> {
    const first = this.#sent.get(of)
    if (!first) throw new Error(`the day redelivers ${of}, which it has not delivered`)
    const answer = await this.#rehearsal.send(first.event, first.body, { delivery: first.delivery })
    const [id] = this.#accepted(answer, first.event)
    await this.#rehearsal.settled(this.#received, settleMs)
    const found = await this.#why(id ?? '')
    const runs = plural(found.invocations.length, 'run')
    this.#say(
      `  ${state('DUPLICATE')}  it is the same event ${id}: still ${runs} and ${plural(found.actions.length, 'action')}`,
    )
  }

  #refused({ status, body, durationMs }: DeliveryAnswer): void {
    const { error } = body as { error?: { code?: string; message?: string } }
    this.#say(
      `      0 ms  ${paint.dim('gateway   ')}  ${paint.red(String(status))} in ${ms(durationMs)}  ${error?.code ?? ''}: ${error?.message ?? ''}. Nothing was stored.`,
    )
  }

  #broken({ status, durationMs, delivery }: DeliveryAnswer): void {
    this.#say(
      `      0 ms  ${paint.dim('gateway   ')}  ${paint.yellow(String(status))} in ${ms(durationMs)}  kept as a dead letter, because sending it again could not mend it`,
    )
    this.#say(paint.dim(`  delivery ${delivery}; guild dead lists it with its body`))
  }

  async #burst(scene: Extract<Scene, { kind: 'burst' }>): Promise<void> {
    const half = scene.deliveries.length / 2
    const began = performance.now()
    const sends = scene.deliveries.flatMap((one, at) => [
      ...(at === half ? [this.#rehearsal.send(scene.urgent.event, scene.urgent.body)] : []),
      this.#rehearsal.send(one.event, one.body),
    ])
    const answers = await Promise.all(sends)
    const took = performance.now() - began
    const ids = answers.flatMap((answer) => idsOf(answer))
    this.#received += ids.length
    const slowest = Math.max(...answers.map((answer) => answer.durationMs))
    this.#say(
      `      0 ms  ${paint.dim('gateway   ')}  ${answers.filter(({ status }) => status === 202).length} of ${answers.length} accepted in ${ms(took)}, the slowest answer after ${ms(slowest)}`,
    )
    await this.#rehearsal.settled(this.#received, settleMs)
    const stories = await Promise.all([...new Set(ids)].map((id) => this.#why(id)))
    const counts = Map.groupBy(stories, (one) => one.event?.disposition ?? 'DEAD')
    this.#say(`  dispatched  ${[...counts].map(([name, all]) => `${all.length} ${state(name)}`).join(', ')}`)
    const urgent = idsOf(answers[half] as DeliveryAnswer)[0] ?? '' // the urgent one was sent at this place
    this.#say('')
    await this.#tell(urgent)
  }

  #accepted(answer: DeliveryAnswer, event: string): readonly string[] {
    const ids = idsOf(answer)
    this.#received += ids.length
    this.#say(
      `      0 ms  ${paint.dim('gateway   ')}  ${paint.green(String(answer.status))} in ${ms(answer.durationMs)}  ${event}, signature valid, delivery ${answer.delivery} → ${plural(ids.length, 'event')}`,
    )
    return ids
  }

  async #tell(id: string): Promise<void> {
    this.#say(hops(await this.#why(id)))
  }

  async #why(id: string): Promise<StoryRow> {
    return this.#client.get<StoryRow>(`/api/v1/why/${encodeURIComponent(id)}`)
  }
}

function idsOf({ body }: DeliveryAnswer): readonly string[] {
  const { event_ids: ids } = body as { event_ids?: readonly string[] }
  return ids ?? []
}
