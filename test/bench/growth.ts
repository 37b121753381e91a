import type { Scale } from './scale.ts'

export async function growth(_: Scale): Promise<void> {}
