import { setTimeout as delay } from 'node:timers/promises'
import { closed, type FaultKind, network, slow } from './fault.ts'
import type { GuildProcess } from './process.ts'
import type { Weather } from './proxy.ts'
import type { Random } from './random.ts'
import { storeFaults } from './store-faults.ts'
import type { World } from './world.ts'

const pauseMs = 30_000
const jumpSeconds = 600
const always = () => null

const kill: FaultKind = {
  name: 'kill -9 of a process',
  weight: 6,
  beside: false,
  unfit: always,
  async inflict({ victims }, random) {
    const restMs = random.between(0, 3_000)
    const victim = await take(victims, random)
    const beganMs = performance.now()
    await victim.kill()
    const mend = async () => {
      await delay(restMs)
      await victim.start()
      victim.busy = false
    }
    return { beganMs, what: `${victim.name}, started again after ${Math.round(restMs)} ms`, over: mend() }
  },
}

const pause: FaultKind = {
  name: 'process stopped for 30 s',
  weight: 1,
  beside: true,
  unfit: always,
  async inflict({ victims }, random) {
    const victim = await take(victims, random)
    const beganMs = performance.now()
    victim.signal('SIGSTOP')
    const mend = async () => {
      await delay(pauseMs)
      victim.signal('SIGCONT')
      victim.busy = false
    }
    return { beganMs, what: victim.name, over: mend() }
  },
}

const jump: FaultKind = {
  name: 'clock jumps 10 min and back',
  weight: 2,
  beside: true,
  unfit: ({ victims }) => (victims.some(({ clockMoves }) => clockMoves) ? null : 'libfaketime is not installed'),
  async inflict({ victims }, random) {
    const seconds = random.pick([jumpSeconds, -jumpSeconds])
    const lastsMs = random.between(6_000, 15_000)
    const victim = await take(victims, random)
    const beganMs = performance.now()
    victim.setClock(seconds)
    const mend = async () => {
      await delay(lastsMs)
      victim.setClock(0)
      await delay(1_100) // it looks once a second
      victim.busy = false
    }
    return { beganMs, what: `${victim.name} by ${seconds} s for ${Math.round(lastsMs)} ms`, over: mend() }
  },
}

const disk: FaultKind = {
  name: 'disk of the artifacts full',
  weight: 2,
  beside: false,
  unfit: ({ disk: { fill } }) => (fill === null ? 'a tmpfs cannot be mounted here' : null),
  async inflict({ disk: { fill } }, random) {
    const lastsMs = random.between(3_000, 8_000)
    const empty = await fill?.()
    const mend = async () => {
      await delay(lastsMs)
      await empty?.()
    }
    return { what: `for ${Math.round(lastsMs)} ms`, over: mend() }
  },
}

const toTarget = ({ proxies }: World) => proxies.target
const mute = (): Weather => ({ kind: 'mute' })

export const faultKinds: readonly FaultKind[] = [
  kill,
  pause,
  jump,
  disk,
  network('target: answers lost', 3, toTarget, mute, { min: 300, max: 2_500 }),
  network('target: connections cut', 1, toTarget, closed, { min: 300, max: 3_000 }),
  network('target: slow connections', 1, toTarget, slow, { min: 2_000, max: 6_000 }),
  ...storeFaults,
]

/** One that no other fault holds. It is named by the seed; only when that one is held the next one is taken. */
async function take(victims: readonly GuildProcess[], random: Random): Promise<GuildProcess> {
  const order = random.shuffle(victims)
  for (;;) {
    const free = order.find(({ busy, running }) => !busy && running)
    if (free) {
      free.busy = true
      return free
    }
    await delay(100)
  }
}

/**
 * The kinds of a whole run, in order: every kind that fits once per round, as often as it weighs, shuffled. The first of a round is a
 * kill: there is no shorter proof.
 */
export function plan(kinds: readonly FaultKind[], faults: number, random: Random): readonly FaultKind[] {
  const planned: FaultKind[] = []
  const bag = kinds.flatMap((kind) => Array.from({ length: kind.weight }, () => kind))
  while (planned.length < faults && bag.length > 0) {
    const [first] = bag
    const rest = random.shuffle(bag.slice(1))
    if (first) planned.push(first, ...rest)
  }
  return planned.slice(0, faults)
}
