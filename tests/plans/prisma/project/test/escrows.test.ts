import assert from 'node:assert/strict'
import { test } from 'node:test'
import { client, lines } from '../src/escrows.js'

test('every escrow has a buyer that can be shown', async () => {
  const prisma = client()
  const found = await lines(prisma)
  await prisma.$disconnect()
  assert.ok(found.every((line) => line.buyer.includes('@')))
})
