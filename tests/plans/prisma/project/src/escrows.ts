import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from './generated/client.js'

export function client(url = process.env.DATABASE_URL): PrismaClient {
  return new PrismaClient({ adapter: new PrismaPg({ connectionString: url }) })
}

export interface Line {
  id: number
  buyer: string
  status: string
}

/** Every escrow with its buyer, as the page shows it. */
export async function lines(prisma: PrismaClient): Promise<Line[]> {
  const escrows = await prisma.escrow.findMany({ include: { buyer: true }, orderBy: { id: 'asc' } })
  return escrows.map((escrow) => ({ id: escrow.id, buyer: escrow.buyer.email, status: escrow.status }))
}
