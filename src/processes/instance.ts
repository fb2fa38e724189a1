import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { Role } from './roles.ts'
import { roles } from './roles.ts'

/**
 * This process in leases, logs, metrics and traces, unlike any other before or after it. A pod or container gives its own name as host
 * name, so a lease names the pod that holds it; the process id alone is 1 in every container.
 */
export function instanceName(): string {
  return `${hostname().slice(0, 63)}-${process.pid}-${randomUUID().slice(0, 4)}`
}

/** `all`, or the roles as typed: `gateway`, `executor+actions`. */
export function roleNames(which: readonly Role[]): string {
  return which.length === roles.length ? 'all' : which.join('+')
}
