/** Runs `work` over the items, at most `max` at a time; results in the order of the items. Rejects with the first failure after all have settled. */
export async function parallel<Item, Out>(
  items: readonly Item[],
  max: number,
  work: (item: Item, index: number) => Promise<Out>,
): Promise<readonly Out[]> {
  const results: Out[] = Array.from({ length: items.length })
  const queue = items.entries()
  async function worker(): Promise<void> {
    for (const [index, item] of queue) results[index] = await work(item, index)
  }
  const settled = await Promise.allSettled(Array.from({ length: Math.min(max, items.length) }, worker))
  const failure = settled.find((outcome) => outcome.status === 'rejected')
  if (failure) throw failure.reason
  return results
}
