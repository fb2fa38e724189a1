import type { CodexSnapshot } from '../codex/snapshot.ts'
import type { CronTrigger, PersonFile } from '../codex/kinds.ts'
import { durationMs } from '../kernel/duration.ts'
import type { Priority } from '../kernel/event.ts'

/** One row of `guild_core.schedules`, as a snapshot asks for it. */
export interface PlannedSchedule {
  /** `town-crier#DAILY_RAVEN`, per person `town-crier#DAILY_RAVEN@ada`: stays the same when expression or zone change */
  readonly id: string
  readonly name: string
  readonly cron_expression: string
  readonly timezone: string
  readonly target_agent: string
  readonly intent: string
  readonly person: string | null
  readonly chapter: string | null
  readonly priority: Priority
  readonly catch_up_ms: number
}

/**
 * Every schedule of a snapshot: one per cron trigger, or one per person where the trigger says `timezone: user`. Pure. The people of an
 * agent are the members of its chapter; of an agent without a chapter everybody in `people/`.
 */
export function planSchedules(snapshot: CodexSnapshot): readonly PlannedSchedule[] {
  return [...snapshot.agents.values()].flatMap(({ id, manifest }) =>
    manifest.spec.triggers.flatMap((trigger): readonly PlannedSchedule[] => {
      if (!('cron' in trigger)) return []
      const chapter = manifest.metadata.chapter ?? null
      const plan = planned(id, chapter, trigger)
      if (trigger.timezone !== 'user') return [{ ...plan, timezone: trigger.timezone, person: null }]
      return peopleOf(snapshot, chapter).map(({ metadata, spec }) => ({
        ...plan,
        id: `${plan.id}@${metadata.name}`,
        name: `${plan.name} for ${metadata.name}`,
        timezone: spec.timezone,
        person: metadata.name,
      }))
    }),
  )
}

function planned(agent: string, chapter: string | null, trigger: CronTrigger) {
  return {
    id: `${agent}#${trigger.intent}`,
    name: `${agent}: ${trigger.intent}`,
    cron_expression: trigger.cron,
    target_agent: agent,
    intent: trigger.intent,
    chapter,
    priority: trigger.priority,
    catch_up_ms: durationMs(trigger.catchUp),
  }
}

function peopleOf({ people, chapters }: CodexSnapshot, chapter: string | null): readonly PersonFile[] {
  const all = [...people.values()]
  if (chapter === null) return all
  const members = (chapters.get(chapter)?.spec.members ?? []).map((member) => member.toLowerCase())
  return all.filter(({ metadata, spec }) =>
    [metadata.name, ...Object.values(spec.logins)].some((name) => members.includes(name.toLowerCase())),
  )
}
