import { expectTypeOf, it } from 'vitest'
import type { Desk } from '../src/actions/desk.ts'
import type { Echoes } from '../src/actions/echo.ts'
import type { ActionProposal as DeskProposal, ActionReceipt as DeskReceipt } from '../src/actions/proposal.ts'
import type { EchoConfirmer } from '../src/dispatcher/echo.ts'
import type { ActionIntake, ActionProposal, ActionReceipt } from '../src/executor/action-intake.ts'

// Components do not import one another; here is where it is seen that they fit.
it('lets the desk stand in for what the executor needs of it', () => {
  expectTypeOf<Desk>().toExtend<ActionIntake>()
  expectTypeOf<ActionProposal>().toEqualTypeOf<DeskProposal>()
  expectTypeOf<ActionReceipt>().toEqualTypeOf<DeskReceipt>()
})

it('lets the echoes stand in for what the dispatcher needs of them', () => {
  expectTypeOf<Echoes>().toExtend<EchoConfirmer>()
})
