/** One page of a list, newest first; `next` is the cursor of the page after it, null at the end. */
export interface Page<Item> {
  readonly items: readonly Item[]
  readonly next: string | null
}
