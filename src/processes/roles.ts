/** The seed's components as roles of a process. All of them in one process is `guild up`. */
export const roles = ['gateway', 'dispatcher', 'scheduler', 'registry', 'executor', 'actions', 'audit'] as const
export type Role = (typeof roles)[number]

/** Named by the seed, and not in this version: said so, instead of starting nothing. */
export const rolesToCome = ['poller', 'notifications'] as const
