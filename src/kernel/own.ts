/** The member of a record under a name from outside: `constructor` and `__proto__` are names like any other, and mostly absent. */
export function own<T>(record: Readonly<Record<string, T>> | undefined, name: string): T | undefined {
  return record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined
}
