/** The figures of one repetition: `{ perSecond: 8100, p99: 12 }`. */
export type Sample<Metric extends string = string> = Readonly<Record<Metric, number>>

export interface Contender<Metric extends string = string> {
  readonly name: string
  /** One repetition. It begins with an empty store of its own and cleans up behind itself. */
  readonly run: (round: number) => Promise<Sample<Metric>>
}

/**
 * All contenders, one after another, as often as asked; each round begins with the next one, so that nobody always runs first or
 * always after the same neighbour. What disturbs the machine for a while then disturbs a round, not a contender.
 */
export async function rounds<Metric extends string>(
  contenders: readonly Contender<Metric>[],
  { repetitions, say }: { readonly repetitions: number; readonly say: (line: string) => void },
): Promise<Results<Metric>> {
  const samples = new Map<string, Sample<Metric>[]>(contenders.map(({ name }) => [name, []]))
  for (let round = 0; round < repetitions; round += 1) {
    const turn = round % contenders.length
    for (const { name, run } of [...contenders.slice(turn), ...contenders.slice(0, turn)]) {
      const sample = await run(round)
      samples.get(name)?.push(sample)
      say(`  ${round + 1}/${repetitions} ${name}: ${spoken(sample)}`)
    }
  }
  return new Results(samples)
}

export class Results<Metric extends string = string> {
  readonly #samples: ReadonlyMap<string, readonly Sample<Metric>[]>

  constructor(samples: ReadonlyMap<string, readonly Sample<Metric>[]>) {
    this.#samples = samples
  }

  /** NaN for who did not run. */
  median(name: string, metric: Metric): number {
    return median(this.all(name, metric))
  }

  all(name: string, metric: Metric): readonly number[] {
    return (this.#samples.get(name) ?? []).map((sample) => sample[metric])
  }

  /** The median of what one made of the other in the same round: the machine's mood cancels out. */
  ratio(name: string, to: string, metric: Metric): number {
    const others = this.all(to, metric)
    return median(this.all(name, metric).map((figure, round) => figure / (others[round] ?? Number.NaN)))
  }
}

export function median(figures: readonly number[]): number {
  return percentile(figures, 0.5)
}

/** Nearest rank; NaN of nothing. */
export function percentile(figures: readonly number[], share: number): number {
  const sorted = figures.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}

function spoken(sample: Sample): string {
  return Object.entries(sample)
    .map(([metric, figure]) => `${metric} ${rounded(figure)}`)
    .join(', ')
}

/** Three digits that mean something; whole numbers from 100 on. */
export function rounded(figure: number): number {
  return Math.abs(figure) >= 100 ? Math.round(figure) : Number(figure.toPrecision(3))
}
