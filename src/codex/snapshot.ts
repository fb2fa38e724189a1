import type {
  AgentManifest,
  ChapterFile,
  ConnectorFile,
  PersonFile,
  PolicyFile,
  ProviderFile,
  RulesFile,
  ToolPin,
} from './kinds.ts'
import type { DataClass, DetectorClass } from '../kernel/data-class.ts'
import type { Condition, Expression } from './condition.ts'

/** Where a thing stands in the Codex, for people: `routing/events.yaml:12`. */
export interface Place {
  readonly file: string
  readonly line: number
}

export interface CodexProblem extends Place {
  readonly severity: 'error' | 'warning'
  readonly message: string
}

export interface CompiledRoute {
  /** `routing/events.yaml#pr-opened`, or `agents/sentinel.yaml#trigger-0` for a manifest trigger */
  readonly rule: string
  readonly place: Place
  /** event type, or `*` */
  readonly eventType: string
  readonly source: string | null
  readonly where: Condition | null
  /** agent ids or agent types; `chapterOf` decides among agents of a type */
  readonly targets: readonly string[]
  readonly priority: AgentPriority | null
  /** set: a match ends in MUTED with this reason */
  readonly mute: string | null
}
type AgentPriority = import('../kernel/event.ts').Priority

export interface CompiledRule {
  readonly name: string
  readonly when: Condition
  readonly do: readonly { readonly action: string; readonly args: Readonly<Record<string, unknown>> }[]
  readonly summary: string | null
  readonly stop: boolean
}

export interface CompiledAgent {
  /** = manifest.metadata.name = `agents.id` */
  readonly id: string
  readonly manifest: AgentManifest
  readonly place: Place
  /** system prompt followed by the rule files, in the manifest's order; byte-stable */
  readonly system: string
  /** JSON Schema of the final answer */
  readonly output: object | null
  readonly rules: readonly CompiledRule[]
  /** texts of `context[].codex` items by path */
  readonly files: Readonly<Record<string, string>>
  /** conditions of `context[].when` and `tools.actions[].when`, by their text */
  readonly conditions: ReadonlyMap<string, Condition>
  /** `limits.concurrency.key`; null or absent: all runs of the agent count together */
  readonly slotKey?: Expression | null
  /** unmet `requires`: the agent is DEGRADED with these reasons */
  readonly unmet: readonly string[]
  /** set: a lint fails it, and somebody has accepted that until then; afterwards its writes need an approval */
  readonly waiver?: AgentWaiver
  /** limits that the manifest does not decide, and who does, e.g. `maximum of chapter payments` */
  readonly limitsBy?: Readonly<Record<string, string>>
}

export interface AgentWaiver {
  /** `policies/waivers.yaml:7` */
  readonly rule: string
  readonly reason: string
  readonly approvedBy: string
  readonly until: Date
}

/** One commit of the Codex, validated as a whole; immutable. */
export interface CodexSnapshot {
  /** 40 hex digits; `worktree-<hash>` for a folder that is not a Git repository */
  readonly commit: string
  /** Merkle hash of the files used */
  readonly hash: string
  readonly loadedAt: Date
  readonly agents: ReadonlyMap<string, CompiledAgent>
  readonly chapters: ReadonlyMap<string, ChapterFile>
  readonly people: ReadonlyMap<string, PersonFile>
  readonly routes: readonly CompiledRoute[]
  readonly policies: readonly PolicyFile[]
  readonly connectors: ReadonlyMap<string, ConnectorFile>
  readonly providers: ReadonlyMap<string, ProviderFile>
  readonly rulesFiles: ReadonlyMap<string, RulesFile>
  /** what `tools.lock.yaml` pins, by `connector.tool`; a tool of a server that is not built in is used only as it stands there */
  readonly toolPins: ReadonlyMap<string, ToolPin>
  readonly denials: readonly CompiledDenial[]
  readonly privacy: CompiledPrivacy
  readonly warnings: readonly CodexProblem[]
}

export interface CompiledDenial {
  readonly name: string
  readonly place: Place
  /** action type or `*` */
  readonly action: string
  readonly when: Condition | null
  readonly reason: string
}

/** `spec.privacy` of all policies together: the stricter of two holds. */
export interface CompiledPrivacy {
  readonly redact: readonly DetectorClass[]
  readonly patterns: readonly PrivacyPattern[]
  readonly blocked: readonly {
    readonly target: string
    readonly classes: readonly (DataClass | DetectorClass)[]
    readonly reason: string
    readonly place: Place
  }[]
  readonly aboveTarget: 'ask' | 'deny'
}

export interface PrivacyPattern {
  readonly name: string
  readonly place: Place
  readonly action: 'redact' | 'block'
  readonly find: (text: string) => readonly { readonly start: number; readonly end: number }[]
}

export const noPrivacy: CompiledPrivacy = { redact: [], patterns: [], blocked: [], aboveTarget: 'ask' }

/** The Codex as components see it. */
export interface Codex {
  /** The newest valid snapshot. */
  current(): CodexSnapshot
  /** The snapshot a run is pinned to. Rejects with GUILD_CODEX_UNAVAILABLE when the commit cannot be read any more. */
  at(commit: string): Promise<CodexSnapshot>
  /** Errors of the newest commit, when it is not the one that serves. */
  problems(): { readonly commit: string; readonly problems: readonly CodexProblem[] } | null
}
