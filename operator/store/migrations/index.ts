import type { Migration } from 'kysely/migration';
import * as initial from './0001-initial.ts';
import * as places from './0002-places.ts';
import * as acknowledged from './0003-acknowledged.ts';
import * as audit from './0004-audit.ts';

/**
 * Every migration by name, in order. Forward-only: there is no `down`, and a released one never changes.
 * A record and not a folder scan, so that it survives bundling.
 */
export const migrations: Readonly<Record<string, Migration>> = {
  '0001-initial': initial,
  '0002-places': places,
  '0003-acknowledged': acknowledged,
  '0004-audit': audit,
};
