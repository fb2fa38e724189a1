// A process for tests that kill one. Opens the embedded database in the folder given and tells what happens, one word and value a line.
import { migrate } from '../src/database/migrate.ts'
import { openHomeDatabase } from '../src/database/pglite/home-database.ts'
import { HomeLock } from '../src/database/pglite/home-lock.ts'
import { isGuildError } from '../src/kernel/errors.ts'

const [, , task = '', home = ''] = process.argv
const tell = (line: string) => process.stdout.write(`${line}\n`)

if (task === 'lock') {
  try {
    await HomeLock.acquire(home)
    tell('won')
    setInterval(() => undefined, 60_000)
  } catch (error) {
    if (!isGuildError(error)) throw error
    tell(`lost ${error.code} ${String(error.details['pid'])}`)
  }
}

if (task === 'write') {
  const { db } = await openHomeDatabase(home)
  await migrate(db)
  const stop = new AbortController()
  process.once('SIGTERM', () => stop.abort())
  tell('open')
  const insert = {
    name: 'child.insert',
    text: "INSERT INTO guild_core.breakers (name, state, last_error) VALUES ($1, 'CLOSED', repeat('x', 500))",
  }
  for (let n = 0; !stop.signal.aborted; n += 1) {
    const name = `${process.pid}-${n}`
    await db.transaction((tx) => tx.query(insert, [name]))
    tell(`wrote ${name}`)
  }
  await db.close()
  tell('closed')
}
