import { expect } from 'vitest'
import { isAlive, until } from '../../support/server.ts'
import { type Command, command, MOST, pathOf } from './command.ts'
import { lay, runnerAt } from './lane.ts'
import { execute, type Migration, type Model, plan, type Request } from './model.ts'
import { post } from './verify.ts'

/** A step that has no end takes the place of what comes next, and what runs it is killed. */
export const killInRun = (killed: 'runner' | 'server', request: Request & { kind: 'migrate' | 'rollback' }) =>
  command(`kill-${killed} in ${pathOf(request)}`, canHang(request), async (model, lane) => {
    const before = [...model.directory]
    hang(model.directory, model, request)
    lay(lane, model)
    const { server } = lane
    const steps = plan(model, request)
    if ('status' in steps) throw new Error(`it would be refused: ${steps.code}`)
    const expected = execute(model, request, steps, killed)
    server.log.length = 0
    const posted = post(server, pathOf(request)).catch((error: unknown) => (killed === 'server' ? null : error))
    const runner = await runnerAt(lane, steps.find(({ way }) => way === 'endless')?.id ?? 0)
    if (killed === 'server') await server.stop('SIGKILL')
    else process.kill(runner, 'SIGKILL')
    expect(await posted).toEqual(killed === 'server' ? null : expected)
    await until(() => !isAlive(runner))
    model.directory.splice(0, MOST + 1, ...before)
    lay(lane, model)
    if (killed === 'server') await lane.replace()
  })

/** Puts the endless step at the end of the directory, or in the way of the last step of the rollback. */
function hang(directory: Migration[], { applied }: Readonly<Model>, request: Request): void {
  if (request.kind === 'migrate') {
    directory.push({ name: 'endless', edition: 0, up: 'endless', down: null })
    return
  }
  const last = request.kind === 'rollback' ? (request.target ?? applied.length - request.steps - 1) + 1 : 0
  const files = directory[last]
  if (files) directory[last] = { ...files, down: 'endless' }
}

/** Whether `request` would come to the endless step. */
function canHang(request: Request): (model: Readonly<Model>) => boolean {
  return (model) => {
    const directory = [...model.directory]
    hang(directory, model, request)
    const steps = plan({ ...model, directory }, request)
    return !('status' in steps) && steps.find(({ way }) => way !== 'good')?.way === 'endless'
  }
}

export const killAtRest = () => ending('kill-at-rest', 'SIGKILL', null)
export const restart = () => ending('restart', 'SIGTERM', 0)

function ending(text: string, signal: NodeJS.Signals, code: number | null): Command {
  return command(
    text,
    () => true,
    async (_, lane) => {
      expect(await lane.server.stop(signal)).toBe(code)
      await lane.replace()
    },
  )
}
