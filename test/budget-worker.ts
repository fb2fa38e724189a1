// A worker for a test that kills it: takes some of the runs of budget-runs.ts, all at once, and never gets an answer from its model.
import { PostgresDatabase } from '../src/database/postgres/postgres-database.ts'
import { acme, setup } from './budget-runs.ts'
import { Bench } from './executor-bench.ts'

const [, , url = '', owner = '', from = '0', to = '0'] = process.argv
const tell = (line: string) => process.stdout.write(`${line}\n`)

const db = await PostgresDatabase.open({ url })
const hang = (serial: number) => () => {
  tell(`called ${serial}`)
  return new Promise<never>(() => setInterval(() => undefined, 60_000))
}
for (let serial = Number(from); serial <= Number(to); serial += 1) {
  const bench = new Bench(db, { ...setup, script: hang(serial) }, serial)
  const deps = bench.deps(db, { owner, limitsFor: (...args) => [acme, ...bench.deps().limitsFor(...args)] })
  void bench.deliver(deps).then((nack) => tell(`ended ${serial} ${nack === null ? 'over' : nack.reason}`))
}
