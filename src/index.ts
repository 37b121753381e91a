export { type ErrorCode, MigrationError } from './core/errors.ts'
export {
  type DatabaseOptions,
  database,
  type MigratingDatabase,
} from './sqlite/database.ts'
export {
  type AppliedMigration,
  type MigrationFunction,
  Migrator,
} from './sqlite/migrator.ts'
