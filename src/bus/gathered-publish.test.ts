import { describe, expect, it } from 'vitest'
import { openTestDatabase } from '../../test/database.ts'
import { systemClock } from '../kernel/clock.ts'
import { GuildError } from '../kernel/errors.ts'
import { silentLog } from '../kernel/log.ts'
import { GatheredPublish } from './gathered-publish.ts'
import { PostgresBus } from './postgres/postgres-bus.ts'

const one = (name: string, bytes = 10) => ({ name, messages: 1, bytes })

/** Calls of a store that answers when told to. */
function store(answer: (names: readonly string[]) => Promise<void> = () => Promise.resolve()) {
  const calls: string[][] = []
  const gates: (() => void)[] = []
  const gathered = new GatheredPublish<ReturnType<typeof one>>(async (publications) => {
    const names = publications.map(({ name }) => name)
    calls.push(names)
    await new Promise<void>((resolve) => gates.push(resolve))
    await answer(names)
  }, 1)
  const answerAll = async () => {
    for (let gate = gates.shift(); gate; gate = gates.shift()) {
      gate()
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  return { gathered, calls, answerAll }
}

describe('GatheredPublish', () => {
  it('makes one statement of what arrives while another is under way', async () => {
    const { gathered, calls, answerAll } = store()
    const all = Promise.all(['a', 'b', 'c'].map((name) => gathered.publish(one(name))))
    await answerAll()
    await all
    expect(calls).toEqual([['a'], ['b', 'c']])
  })

  it('ends a statement at 4 MiB, and sends what is larger by itself', async () => {
    const { gathered, calls, answerAll } = store()
    const sizes = [1, 3 * 1024 * 1024, 2 * 1024 * 1024, 9 * 1024 * 1024]
    const all = Promise.all(sizes.map((bytes, index) => gathered.publish(one(`m${index}`, bytes))))
    await answerAll()
    await all
    expect(calls).toEqual([['m0'], ['m1'], ['m2'], ['m3']])
  })

  it('repeats each call by itself when a statement is refused, so that only the culprit fails', async () => {
    const refused = new GuildError('GUILD_DATABASE_REFUSED', { statement: 'publish', why: 'no', sqlState: '22P02' })
    const { gathered, answerAll } = store((names) =>
      names.includes('bad') ? Promise.reject(refused) : Promise.resolve(),
    )
    const settled = Promise.allSettled(['a', 'bad', 'c'].map((name) => gathered.publish(one(name))))
    await answerAll()
    expect((await settled).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  })

  it('tells everybody at once when the store cannot be reached', async () => {
    const { gathered, calls, answerAll } = store(() =>
      Promise.reject(new GuildError('GUILD_DATABASE_UNAVAILABLE', { why: 'gone' })),
    )
    const settled = Promise.allSettled(['a', 'b', 'c'].map((name) => gathered.publish(one(name))))
    await answerAll()
    expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(calls).toEqual([['a'], ['b', 'c']])
  })
})

describe('PostgresBus', () => {
  it('refuses to publish inside the work of a transaction, also while others publish', async () => {
    await using database = await openTestDatabase()
    await using bus = new PostgresBus({ database, clock: systemClock, log: silentLog })
    const under = bus.publish('t', [{ id: 'm1', body: 1 }])
    const nested = database.transaction(() => bus.publish('t', [{ id: 'm2', body: 2 }]))
    await expect(nested).rejects.toMatchObject({ code: 'GUILD_DATABASE_NESTED' })
    await under
    expect(await bus.count('t')).toBe(1)
  })
})
