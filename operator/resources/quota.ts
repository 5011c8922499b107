/** How many places of a tenant's quota there are, and who else wants one. */
export type PlaceRoom = {
  readonly limit: number;
  readonly used: number;
  /** How many have waited longer for one. */
  readonly ahead: number;
};

/** One amount a tenant may use over all its namespaces, and what of it is in use. */
export type Amount = { readonly name: string; readonly hard: number; readonly used: number };

/** What a tenant's quota leaves, where it bounds something. */
export type QuotaRoom = {
  /** Left out for those who hold a place, and where the number is not bounded. */
  readonly places?: PlaceRoom;
  readonly amounts: readonly Amount[];
};

/** Whether there is no place now: all are taken, or those who have waited longer get what is left. */
export function isTaken({ limit, used, ahead }: PlaceRoom): boolean {
  return used + ahead >= limit;
}
