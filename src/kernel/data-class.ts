/** How widely data may be known, from the least to the most confidential (design: runs 1, `trust.dataClasses`). */
export const dataClasses = ['public', 'internal', 'sensitive', 'restricted'] as const
export type DataClass = (typeof dataClasses)[number]

/** What the privacy guard can tell by looking at text. Secrets are always looked for; the others where the Codex says so. */
export const detectorClasses = ['secrets', 'email', 'phone', 'iban', 'card', 'ip'] as const
export type DetectorClass = (typeof detectorClasses)[number]

/** The more confidential of the two. */
export function mostConfidential(a: DataClass, b: DataClass): DataClass {
  return dataClasses.indexOf(a) >= dataClasses.indexOf(b) ? a : b
}

export function isMoreConfidential(a: DataClass, than: DataClass): boolean {
  return dataClasses.indexOf(a) > dataClasses.indexOf(than)
}
