import { z } from 'zod'
import type { Consumer } from '../bus/bus.ts'
import type { Service } from '../kernel/service.ts'
import { topics } from '../kernel/topics.ts'
import { type ActionExecutorDeps, ActionLanes } from './lanes.ts'
import { ActionSweeper } from './sweeper.ts'

const body = z.object({ action_id: z.string().min(1).max(100) })

/**
 * The action executor (seed 2.8): `consumer` starts what is announced on `guild.actions.outbound`; `sweeper` starts what no message
 * announces: retries and probes that fall due, calls whose worker died, lost messages, and it closes what has run out of time.
 */
export function actionExecutor(deps: ActionExecutorDeps): { readonly consumer: Consumer; readonly sweeper: Service } {
  const lanes = new ActionLanes(deps)
  const sweeper = new ActionSweeper(deps, lanes)
  lanes.onDue = (at) => sweeper.wakeAt(at)
  const consumer: Consumer = {
    subscription: { topic: topics.actions, group: 'actions', maxInFlight: deps.maxInFlight ?? 16 },
    async handle(batch, signal) {
      for (const delivery of batch) await lanes.drain(body.parse(delivery.body).action_id, signal)
      // Told to stop in the middle of a lane: another process gets the message at once, instead of a sweeper finding the rows.
      signal.throwIfAborted()
    },
  }
  return { consumer, sweeper }
}
