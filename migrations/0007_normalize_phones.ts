import type { Database } from 'better-sqlite3'

/** Brings phone numbers to the form +4930123456, which SQL alone can hardly do, and keeps what was written before. */
export function up(db: Database): void {
  db.exec('ALTER TABLE adopters ADD COLUMN phone_as_written TEXT')
  const update = db.prepare('UPDATE adopters SET phone = ?, phone_as_written = ? WHERE id = ?')
  for (const { id, phone } of adopters(db)) if (phone !== null) update.run(normalized(phone), phone, id)
}

function adopters(db: Database): { id: number; phone: string | null }[] {
  return db.prepare('SELECT id, phone FROM adopters').all() as {
    id: number
    phone: string | null
  }[]
}

function normalized(phone: string): string {
  const digits = phone.replaceAll(/[^\d+]/g, '')
  return digits.startsWith('+') ? digits : `+49${digits.replace(/^0/, '')}`
}
