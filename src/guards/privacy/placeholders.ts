import { type DetectorClass, detectorClasses } from '../../kernel/data-class.ts'

export interface Named {
  readonly kind: DetectorClass
  readonly value: string
}

/**
 * Personal data by the names that a model sees instead: `⟪email-1⟫`. Not the brackets of fences (⟦⟧), which are taken out of outside
 * text; these are too (context-guard.ts), so that nobody can write a placeholder and have it replaced. Secrets never come here.
 */
export class Placeholders {
  readonly #names = new Map<string, string>()
  readonly #values = new Map<string, Named>()
  readonly #counts = new Map<DetectorClass, number>()

  /** The same value, however it is spelt, has one name in a run; each class counts for itself. */
  of(kind: DetectorClass, value: string): string {
    const key = `${kind} ${normal(kind, value)}`
    const known = this.#names.get(key)
    if (known !== undefined) return known
    const count = (this.#counts.get(kind) ?? 0) + 1
    const name = `⟪${kind}-${count}⟫`
    this.#counts.set(kind, count)
    this.#names.set(key, name)
    this.#values.set(name, { kind, value })
    return name
  }

  /** In the order in which they were named: naming them anew in that order gives the same numbers. */
  get all(): readonly Named[] {
    return [...this.#values.values()]
  }

  restore(text: string, mayPass: (kind: DetectorClass) => boolean): string {
    if (!text.includes('⟪')) return text
    return text.replaceAll(placeholder, (name) => {
      const found = this.#values.get(name)
      return found && mayPass(found.kind) ? found.value : name
    })
  }
}

const placeholder = new RegExp(`⟪(?:${detectorClasses.join('|')})-\\d{1,6}⟫`, 'g')

function normal(kind: DetectorClass, value: string): string {
  if (kind === 'email' || kind === 'ip') return value.toLowerCase()
  return value.replaceAll(/[^A-Za-z0-9]/g, '')
}
