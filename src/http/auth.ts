import { randomBytes } from 'node:crypto'
import type { Database } from '../database/database.ts'
import { statements } from '../database/statements.ts'
import { GuildError } from '../kernel/errors.ts'
import { sha256, timeId } from '../kernel/ids.ts'
import { Secret } from '../kernel/secret.ts'

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
  constructor(database: Database) {
    this.#database = database
  }

  async create(name: string, role: Role, now: Date): Promise<{ readonly id: string; readonly key: Secret }> {
    const key = `guild_${randomBytes(32).toString('base64url')}`
    const id = await this.adopt(name, role, new Secret(key), now)
    return { id, key: new Secret(key) }
  }

  /** Makes a key known that was created elsewhere (the admin key in GUILD_HOME); a known one stays as it is. */
  async adopt(name: string, role: Role, key: Secret, now: Date): Promise<string> {
    const hash = sha256(key.reveal())
    const id = timeId('key', now.getTime())
    await this.#database.query(sql.insertKey, [id, name, role, hash])
    const found = await this.#database.query<{ id: string }>(sql.findKey, [hash])
    return found.rows[0]?.id ?? id
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

  async revoke(id: string): Promise<void> {
    const { count } = await this.#database.query(sql.revokeKey, [id])
    if (count === 0) throw new GuildError('GUILD_NOT_FOUND', { what: 'active key', id })
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
}

/** @throws GUILD_FORBIDDEN unless the caller's role includes `need` */
export function requireRole(caller: Caller, need: Role): void {
  if (roles.indexOf(caller.role) < roles.indexOf(need))
    throw new GuildError('GUILD_FORBIDDEN', { role: caller.role, need })
}
