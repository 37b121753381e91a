import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import type { Engine } from '../core/engine.ts'
import type { Runs } from '../core/runs.ts'
import { answer } from './answer.ts'
import { accepted, answerRun, number, preferHeader, runRequest } from './change.ts'
import { notModified } from './etag.ts'
import { problems, READ_REFUSALS, RUN_REFUSALS } from './refusals.ts'
import { Backups, integer, Run as RunSchema } from './schemas.ts'

interface Restore {
  readonly Params: { readonly name: string }
  readonly Querystring: { readonly from?: string; readonly wait?: string }
}

const list = {
  operationId: 'listBackups',
  summary: 'The backups, the newest first',
  description: 'One is made before each run that has steps to do.',
  tags: ['backups'],
  querystring: Type.Object({}, { additionalProperties: false }),
  response: {
    200: answer('The backups', { 'application/json': [Backups, 'backups'] }),
    ...notModified,
    ...problems(...READ_REFUSALS),
  },
}

const restore = {
  operationId: 'restoreBackup',
  summary: 'Put a backup in the place of the database',
  description:
    'Whole or not at all, with a backup of its own before it. The log and the runs made since are carried over; `rowCounts` tells what of each table is lost. Whoever has the database open sees the restored state.',
  tags: ['backups'],
  headers: preferHeader,
  params: Type.Object({ name: Type.String({ pattern: '^[^./\\\\][^/\\\\]*$', description: 'Its name' }) }),
  querystring: Type.Object(
    {
      from: integer('Refuse with 412 unless this is the current id; -1 for none'),
      wait: integer('How many seconds to queue behind another change, 0 to 3600'),
    },
    { additionalProperties: false },
  ),
  response: {
    200: answer('The run, which has ended well', {
      'application/json': [RunSchema, 'restored'],
      'text/plain': [Type.String(), 'restored-text'],
    }),
    202: accepted('restore-accepted', 'restore-accepted-text'),
    ...problems(...RUN_REFUSALS, 'invalid-request.backup', 'not-found.backup'),
  },
}

/** `GET /backups` and `POST /backups/{name}/restore`. */
export function backupRoutes(app: FastifyInstance, { engine, runs }: { engine: Engine; runs: Runs }): void {
  app.get('/backups', { schema: list }, async () => ({ backups: await engine.backups() }))
  app.post<Restore>(
    '/backups/:name/restore',
    { schema: restore, config: { role: 'admin' } },
    async (request, reply) => {
      const { from, wait } = request.query
      const asked = { kind: 'restore', backup: request.params.name, from: number(from) } as const
      return answerRun(runs, runRequest(request, reply, asked, 'earnest', number(wait) ?? 0), request, reply)
    },
  )
}
