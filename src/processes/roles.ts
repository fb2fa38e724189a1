/** The seed's components as roles of a process. All of them in one process is `guild up`. */
export const roles = ['gateway', 'dispatcher', 'scheduler', 'registry', 'executor', 'actions', 'audit'] as const
export type Role = (typeof roles)[number]

/** Named by the seed, and not in this version: said so, instead of starting nothing. */
export const rolesToCome = ['poller', 'notifications'] as const

/** Those that do something by the clock, and so can do it once (`guild run <role> --once`). */
export const periodicRoles = ['scheduler', 'registry', 'audit'] as const satisfies readonly Role[]
export type PeriodicRole = (typeof periodicRoles)[number]
