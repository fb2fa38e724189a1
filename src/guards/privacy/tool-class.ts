import type { ConnectorFile } from '../../codex/kinds.ts'
import type { DataClass } from '../../kernel/data-class.ts'
import { own } from '../../kernel/own.ts'

/** How confidential what a tool (`connector.tool`) answers is: what its connector says of the tool, else of itself. */
export function toolClass(connectors: ReadonlyMap<string, ConnectorFile>, name: string): DataClass {
  const dot = name.indexOf('.')
  const spec = connectors.get(dot < 0 ? name : name.slice(0, dot))?.spec
  return (dot < 0 ? undefined : own(spec?.toolClasses, name.slice(dot + 1))) ?? spec?.dataClass ?? 'internal'
}
