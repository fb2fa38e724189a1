import { randomBytes } from 'node:crypto'
import { auditMessage } from '../audit/audit.ts'
import type { Outbox } from '../bus/outbox.ts'
import type { Database, Queryable } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { GuildError } from '../kernel/errors.ts'
import { hashId, sha256, timeId } from '../kernel/ids.ts'
import { Secret } from '../kernel/secret.ts'
import { topics } from '../kernel/topics.ts'

const sql = statements(import.meta.url, './auth.sql', [
  'insertKey',
  'findKey',
  'findKeyById',
  'touchKey',
  'listKeys',
  'revokeKey',
  'insertLink',
  'useLink',
])

/** viewer reads, operator decides and replays, admin also manages keys. Each includes the one before. */
export const roles = ['viewer', 'operator', 'admin'] as const
export type Role = (typeof roles)[number]

export interface Caller {
  readonly keyId: string
  readonly name: string
  readonly role: Role
}

export interface KeyRow {
  readonly id: string
  readonly name: string
  readonly role: Role
  readonly created_at: Date
  readonly last_used_at: Date | null
  readonly revoked_at: Date | null
}

const linkMinutes = 15

/**
 * Bearer keys: 256 random bits, so that a plain SHA-256 in the table cannot be reversed; looked up by hash, so that no
 * comparison leaks time. The key itself is shown once and never stored.
 */
export class Keys {
  readonly #database: Database
  readonly #outbox: Pick<Outbox, 'add'>
  constructor(database: Database, outbox: Pick<Outbox, 'add'>) {
    this.#database = database
    this.#outbox = outbox
  }

  /** @param by who makes it, as the audit trail names them */
  async create(
    name: string,
    role: Role,
    now: Date,
    by: string,
  ): Promise<{ readonly id: string; readonly key: Secret }> {
    const key = new Secret(`guild_${randomBytes(32).toString('base64url')}`)
    return { id: await this.#adopt(name, role, key, now, by), key }
  }

  /**
   * Makes a key known that was created elsewhere (the admin key in GUILD_HOME); a known one stays as it is.
   * @throws GUILD_UNAUTHENTICATED when it has been revoked
   */
  async adopt(name: string, role: Role, key: Secret, now: Date): Promise<string> {
    return this.#adopt(name, role, key, now, 'system:guild')
  }

  async #adopt(name: string, role: Role, key: Secret, now: Date, by: string): Promise<string> {
    const hash = sha256(key.reveal())
    return this.#database.transaction(async (tx) => {
      const made = await tx.query<{ id: string }>(sql.insertKey, [timeId('key', now.getTime()), name, role, hash])
      const [fresh] = made.rows
      if (fresh) {
        await this.#audit(tx, 'KEY_CREATED', { id: fresh.id, name, role }, now, by)
        return fresh.id
      }
      const found = await tx.query<{ id: string }>(sql.findKey, [hash])
      const [known] = found.rows
      if (!known) throw new GuildError('GUILD_UNAUTHENTICATED')
      return known.id
    })
  }

  /** @throws GUILD_UNAUTHENTICATED for a missing, unknown or revoked key */
  async authenticate(key: string | undefined): Promise<Caller> {
    if (!key) throw new GuildError('GUILD_UNAUTHENTICATED')
    const found = await this.#database.query<{ id: string; name: string; role: Role }>(sql.findKey, [sha256(key)])
    const row = found.rows[0]
    if (!row) throw new GuildError('GUILD_UNAUTHENTICATED')
    await this.#database.query(sql.touchKey, [row.id])
    return { keyId: row.id, name: row.name, role: row.role }
  }

  /** The caller behind a browser's session. @throws GUILD_UNAUTHENTICATED when the key was revoked since */
  async caller(keyId: string): Promise<Caller> {
    const found = await this.#database.query<{ id: string; name: string; role: Role }>(sql.findKeyById, [keyId])
    const row = found.rows[0]
    if (!row) throw new GuildError('GUILD_UNAUTHENTICATED')
    return { keyId: row.id, name: row.name, role: row.role }
  }

  async list(): Promise<readonly KeyRow[]> {
    return (await this.#database.query<KeyRow>(sql.listKeys)).rows
  }

  /** @param by who revokes it, as the audit trail names them. @throws GUILD_NOT_FOUND */
  async revoke(id: string, now: Date, by: string): Promise<void> {
    await this.#database.transaction(async (tx) => {
      const { rows } = await tx.query<{ name: string; role: Role }>(sql.revokeKey, [id])
      const [gone] = rows
      if (!gone) throw new GuildError('GUILD_NOT_FOUND', { what: 'active key', id })
      await this.#audit(tx, 'KEY_REVOKED', { id, ...gone }, now, by)
    })
  }

  /** A link that signs a browser in once, within 15 minutes. @returns the token for `/sign-in?token=` */
  async signInToken(keyId: string, now: Date): Promise<string> {
    const token = randomBytes(32).toString('base64url')
    await this.#database.query(sql.insertLink, [sha256(token), keyId, new Date(now.getTime() + linkMinutes * 60_000)])
    return token
  }

  /** Uses the link up. @returns the id of the key it was made for, or null */
  async redeem(token: string): Promise<string | null> {
    const { rows } = await this.#database.query<{ key_id: string }>(sql.useLink, [sha256(token)])
    return rows[0]?.key_id ?? null
  }

  async #audit(
    tx: Queryable,
    eventType: string,
    key: { readonly id: string; readonly name: string; readonly role: Role },
    now: Date,
    actor: string,
  ): Promise<void> {
    const entry = {
      id: hashId('aud', eventType, key.id),
      timestamp: now.toISOString(),
      event_type: eventType,
      payload: { key: key.id, name: key.name, role: key.role },
      result: 'SUCCESS' as const,
      actor,
    }
    await this.#outbox.add(tx, topics.audit, [auditMessage(entry)])
  }
}

/** @throws GUILD_FORBIDDEN unless the caller's role includes `need` */
export function requireRole(caller: Caller, need: Role): void {
  if (roles.indexOf(caller.role) < roles.indexOf(need))
    throw new GuildError('GUILD_FORBIDDEN', { role: caller.role, need })
}
