import { setTimeout as delay } from 'node:timers/promises'
import type { Weather } from './proxy.ts'
import type { Random } from './random.ts'
import type { World } from './world.ts'

/** A fault that has begun. */
export interface Inflicted {
  /** to whom, and how */
  readonly what: string
  /** performance.now() when it struck, where a victim had to be waited for */
  readonly beganMs?: number
  /** Resolves when it is over: whoever was hit is ready again, or was let go. Rejects when it cannot be mended. */
  readonly over: Promise<void>
}

export interface FaultKind {
  readonly name: string
  /** how often, against the others */
  readonly weight: number
  /** the next fault need not wait for the end of this one */
  readonly beside: boolean
  /** null: it can be done here; a sentence: why this machine cannot; false: this configuration has nothing of the kind */
  readonly unfit: (world: World) => string | false | null
  readonly inflict: (world: World, random: Random) => Promise<Inflicted>
}

/** A fault of the network, in front of something. */
export function network(
  name: string,
  weight: number,
  proxyOf: (world: World) => World['proxies'][keyof World['proxies']],
  weatherOf: (random: Random) => Weather,
  lasts: { readonly min: number; readonly max: number },
): FaultKind {
  return {
    name,
    weight,
    beside: false,
    unfit: (world) => (proxyOf(world) === null ? false : null),
    async inflict(world, random) {
      const proxy = proxyOf(world)
      const weather = weatherOf(random)
      const lastsMs = random.between(lasts.min, lasts.max)
      if (!proxy) throw new Error(`${name}: there is no such connection`)
      proxy.weather = weather
      const cut = weather.kind === 'closed' ? `${proxy.cut()} connections cut, ` : ''
      const mend = async () => {
        await delay(lastsMs)
        proxy.weather = { kind: 'clear' }
      }
      return { what: `${cut}for ${Math.round(lastsMs)} ms`, over: mend() }
    },
  }
}

export function slow(random: Random): Weather {
  return {
    kind: 'slow',
    latencyMs: Math.round(random.between(20, 200)),
    bytesPerSecond: Math.round(random.between(20_000, 200_000)),
  }
}

export const closed = (): Weather => ({ kind: 'closed' })
