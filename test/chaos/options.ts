import { parseArgs } from 'node:util'

export const configs = ['embedded', 'postgres', 'postgres+redis'] as const
export type Config = (typeof configs)[number]
export type Sabotage = 'lose' | 'double'

export interface Options {
  readonly configs: readonly Config[]
  readonly deliveries: number
  readonly faults: number
  readonly seed: number
  readonly minutes: number
  readonly json: boolean
  readonly keep: boolean
  /** empty, unless it is to be shown that the harness can fail */
  readonly sabotage: readonly Sabotage[]
  /** only these kinds of fault; empty: all that the configuration knows */
  readonly only: readonly string[]
  /** only these processes are killed, stopped and misled about the time; empty: all */
  readonly on: readonly string[]
  /** writes the tables into docs/chaos.md */
  readonly docs: boolean
}

export const usage = `npm run chaos -- [options]

Starts a guild in each configuration, sends it deliveries, breaks something every few seconds, waits for quiet, and counts from outside.
Exits 1 when a delivery was lost, an effect happened twice, an interrupted run resumed later than 30 s, or a check of the guild fails.

  --config <name>      ${configs.join(', ')}; may be given several times; default: all
  --deliveries <n>     default 10000
  --faults <n>         default 60
  --seed <n>           of kinds, order and victims; default: from the clock, and printed
  --minutes <n>        no new fault after so many per configuration; default 20
  --quick              300 deliveries and 8 faults
  --only <kind>        only this kind of fault; may be given several times
  --on <process>       kill, stop and mislead only this process, e.g. actions-1; may be given several times
  --json               one JSON document on stdout instead of tables
  --keep               leaves the folder with logs, homes and the database
  --docs               writes the tables into docs/chaos.md
  --sabotage <kind>    lose, double or both: a proof that this harness can fail
`

/** @throws a sentence for people */
export function readOptions(args: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      config: { type: 'string', multiple: true },
      deliveries: { type: 'string' },
      faults: { type: 'string' },
      seed: { type: 'string' },
      minutes: { type: 'string' },
      quick: { type: 'boolean' },
      only: { type: 'string', multiple: true },
      on: { type: 'string', multiple: true },
      json: { type: 'boolean' },
      keep: { type: 'boolean' },
      docs: { type: 'boolean' },
      sabotage: { type: 'string', multiple: true },
      help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) return 'help'
  const quick = values.quick === true
  return {
    configs: values.config ? values.config.map((name) => oneOf('--config', name, configs)) : configs,
    deliveries: count('--deliveries', values.deliveries, quick ? 300 : 10_000),
    faults: count('--faults', values.faults, quick ? 8 : 60),
    seed: count('--seed', values.seed, Date.now() % 1_000_000),
    minutes: count('--minutes', values.minutes, 20),
    json: values.json === true,
    keep: values.keep === true,
    sabotage: (values.sabotage ?? []).map((name) => oneOf('--sabotage', name, ['lose', 'double'])),
    only: values.only ?? [],
    on: values.on ?? [],
    docs: values.docs === true,
  }
}

function oneOf<const T extends string>(name: string, value: string, known: readonly T[]): T {
  const found = known.find((one) => one === value)
  if (found === undefined) throw new Error(`${name} takes ${known.join(', ')}; not ${value}`)
  return found
}

function count(name: string, value: string | undefined, otherwise: number): number {
  if (value === undefined) return otherwise
  const number = Number(value)
  if (!Number.isSafeInteger(number) || number < 0) throw new Error(`${name} takes a whole number; not ${value}`)
  return number
}
