import type { Queryable } from '../database/database.ts'
import type { GuildEvent } from '../kernel/event.ts'

/** The place in the tree of causes of the action that an echo belongs to. */
export interface Echo {
  readonly invocationId: string | null
  readonly causalRoot: string
  readonly causalDepth: number
}

/**
 * Whoever owns the actions: is this event what our action `marker` (`act_…`) did, coming back to us? If so it may settle an action in
 * doubt, in `tx`. null: the marker was copied or made up; the event is then like any other. Asked again it gives the same answer.
 */
export interface EchoConfirmer {
  confirm(tx: Queryable, claim: { readonly marker: string; readonly event: GuildEvent }): Promise<Echo | null>
}
