/** What the API answers. */
export type { DoctorReport } from '../../src/http/doctor.ts'
export type { Page } from '../../src/http/page.ts'
export type {
  ActionRow,
  ApprovalRow,
  BudgetRow,
  DeadRow,
  EventRow,
  LedgerReport,
  RunDetail,
  RunRow,
} from '../../src/http/rows.ts'
export type { Status } from '../../src/http/status.ts'
