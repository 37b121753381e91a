#!/usr/bin/env node
// The command. Any Node may start it, so it is written for all of them and loads nothing before it has looked which one it is.
const version = process.versions.node
const [major = 0, minor = 0] = version.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 18)) {
  console.error(`schemad: this is Node ${version}, and it takes 22.18 or newer; install one, or run the image`)
  process.exit(1)
}
import('./command.ts')
