import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { Page } from './page.ts'
import { about, type Decider, decider, id, pageOf } from './route.ts'
import { scheduleRow } from './rows.ts'

export interface ScheduleApi {
  schedules(query: { agent?: string | undefined }): Promise<Page<unknown>>
  schedule(id: string): Promise<unknown>
  setSchedule(id: string, enabled: boolean, by: Decider): Promise<unknown>
}

/** What comes due by the clock: seed §2.5. */
export function scheduleRoutes(plain: FastifyInstance, api: ScheduleApi): void {
  const app = plain.withTypeProvider<ZodTypeProvider>()
  const viewer = { config: { role: 'viewer' as const } }
  app.get(
    '/schedules',
    {
      ...viewer,
      schema: about(
        'Schedules',
        'What comes due, soonest first',
        pageOf(scheduleRow),
        z.object({ agent: z.string().max(100).optional() }),
      ),
    },
    (request) => api.schedules(request.query),
  )
  app.get(
    '/schedules/:id',
    { ...viewer, schema: { ...about('Schedules', 'One schedule with its next five slots', scheduleRow), params: id } },
    (request) => api.schedule(request.params.id),
  )
  for (const [verb, enabled, summary] of [
    ['pause', false, 'Stops a schedule until it is resumed'],
    ['resume', true, 'Lets a schedule go on; what it slept through is not made up for'],
  ] as const) {
    app.post(
      `/schedules/:id/${verb}`,
      {
        config: { role: 'operator' as const },
        schema: {
          ...about('Schedules', summary, scheduleRow),
          params: id,
          body: z.object({ note: z.string().max(2_000).optional() }),
        },
      },
      (request) => api.setSchedule(request.params.id, enabled, decider(request, request.body.note)),
    )
  }
}
