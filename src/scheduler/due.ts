import type { Calendar } from '../codex/calendar.ts'

export interface Standing {
  /** nothing before it is looked at: when the schedule was made, or last looked at */
  readonly since: Date
  /** wall time of the slot that fired last, `2026-11-22T08:30`; null: none yet */
  readonly lastWall: string | null
  /** a slot that is later than this is not made up for */
  readonly catchUpMs: number
  /** per person: one wall time fires once, wherever the person has flown to */
  readonly oncePerWall: boolean
}

export interface Due {
  /** the latest slot that came due; null: none, or all of them too late */
  readonly fire: { readonly at: Date; readonly wall: string; readonly late: boolean } | null
  /** slots that came due and are not fired: older ones than `fire`, and those too late */
  readonly missed: number
  readonly next: Date | null
}

/** From here on a slot is told to be late. */
const lateMs = 60_000
/** Slots looked at in one go; beyond it only the count is wrong, never what fires. */
const slotsMax = 2_000

/**
 * What is due at `now`. Pure. After a pause of the platform the latest slot is made up for, and only that one: a week away brings one
 * digest and not seven. A clock that goes back finds its slot fired; one that goes forward fires early, and not again.
 */
export function due(calendar: Calendar, standing: Standing, now: Date): Due {
  const next = calendar.after(now)
  const horizon = now.getTime() - standing.catchUpMs
  let fire: Due['fire'] = null
  let missed = 0
  let slot = calendar.after(standing.since)
  for (let seen = 0; slot !== null && slot <= now && seen < slotsMax; seen += 1) {
    const wall = calendar.wall(slot)
    const again = standing.oncePerWall && standing.lastWall !== null && wall <= standing.lastWall
    if (!again) {
      if (fire) missed += 1
      if (slot.getTime() < horizon) missed += 1
      else fire = { at: slot, wall, late: now.getTime() - slot.getTime() > lateMs }
    }
    // Slots that are too old are not walked through one by one.
    const from = slot.getTime() < horizon && seen >= slotsMax / 2 ? new Date(horizon) : slot
    slot = calendar.after(from)
  }
  return { fire, missed, next }
}
