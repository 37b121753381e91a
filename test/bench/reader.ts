// Asks a URL at fixed moments until SIGTERM, then prints of each request when it was to be sent, in milliseconds since 1970, and
// how long after that it was answered. Counted from that moment, since who only asks again when he has been answered would see one
// slow answer where there were many.
import { Agent, get } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'

const PACE_MS = 5

const [, , url = ''] = process.argv
const agent = new Agent({ keepAlive: true })
const answers: Promise<[due: number, ms: number]>[] = []
let going = true
process.once('SIGTERM', () => {
  going = false
})

const began = performance.now()
while (going) {
  const due = began + answers.length * PACE_MS
  const early = due - performance.now()
  if (early > 0) await wait(early)
  answers.push(read().then(() => [performance.timeOrigin + due, performance.now() - due]))
}
console.log(JSON.stringify(await Promise.all(answers)))
agent.destroy()

function read(): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`${url} was answered with ${response.statusCode}`))
      response.once('end', resolve).once('error', reject).resume()
    })
    request.once('error', reject)
  })
}
