// A guild in a process of its own, for tests that kill it: it works on the run it is told and dies where it is told to.
import { once } from 'node:events'
import { z } from 'zod'
// What the first model call would load, so that a child stands ready before its turn.
import '../src/llm/vercel/stream-step.ts'
import { Bench } from './executor-bench.ts'
import { clientDatabase } from './ipc-database.ts'
import { drive, Mortal, runSetup } from './small-guild.ts'

const order = z.object({
  run: z.int(),
  dieAt: z.string(),
  artifacts: z.string(),
  github: z.string(),
  llm: z.string(),
})

const turn = once(process, 'message')
process.send?.('ready')
const [message] = (await turn) as [unknown]
const { run, dieAt, ...at } = order.parse(message)
const db = clientDatabase()
const bench = await Bench.open(db, runSetup(run), { is: run, made: true })
await drive({ ...at, db }, bench, new Mortal(dieAt))
process.disconnect()
