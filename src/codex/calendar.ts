import { Cron } from 'croner'
import { reasonOf } from '../kernel/errors.ts'

/**
 * A cron expression of five fields in one IANA zone. Fixed times that a clock change skips fire at the end of the gap, and those it
 * repeats fire once, the first time; expressions with a wildcard or a range in minutes or hours keep every tick (the rule of OCPS and
 * Cronos, https://github.com/open-source-cron/ocps). Day of month and day of week are joined by OR, as in crontab(5).
 */
export class Calendar {
  readonly #cron: Cron
  readonly zone: string
  readonly #wall: Intl.DateTimeFormat

  private constructor(cron: Cron, zone: string) {
    this.#cron = cron
    this.zone = zone
    this.#wall = new Intl.DateTimeFormat('sv-SE', {
      timeZone: zone,
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      hourCycle: 'h23',
    })
  }

  /** @returns what is wrong with expression or zone, for people, instead of a calendar */
  static read(expression: string, zone: string): Calendar | { readonly problem: string } {
    if (!isZone(zone)) return { problem: `“${zone}” is no IANA time zone, such as Europe/Berlin` }
    try {
      const calendar = new Calendar(new Cron(expression, { timezone: zone, mode: '5-part', paused: true }), zone)
      return calendar.after(new Date(0)) === null ? { problem: 'it never comes due' } : calendar
    } catch (error) {
      return { problem: `“${expression}” is no cron expression of five fields: ${reasonOf(error)}` }
    }
  }

  /** The first instant later than `instant`; null: there is none. */
  after(instant: Date): Date | null {
    return this.#cron.nextRun(instant)
  }

  /** `2026-11-22T08:30`: what a clock on the wall shows there at that instant. */
  wall(instant: Date): string {
    return this.#wall.format(instant).replace(' ', 'T')
  }
}

export function isZone(zone: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: zone }).resolvedOptions().timeZone !== ''
  } catch {
    // RangeError is how Intl says no.
    return false
  }
}
