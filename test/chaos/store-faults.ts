import { closed, type FaultKind, network, slow } from './fault.ts'
import type { World } from './world.ts'

const toPostgres = ({ proxies }: World) => proxies.postgres

export const storeFaults: readonly FaultKind[] = [
  network('postgres: connections cut', 1, toPostgres, closed, { min: 200, max: 3_000 }),
  network('postgres: slow connections', 1, toPostgres, slow, { min: 2_000, max: 6_000 }),
]
