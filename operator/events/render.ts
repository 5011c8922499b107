import { z } from 'zod';
import { schemaId } from './cloud-event.ts';
import { renderEventTypes } from './render-types.ts';
import { eventSchemas } from './schemas/index.ts';
import { eventSubject } from './subjects.ts';

export type RenderedFile = {
  /** From the root of the repository. */
  readonly path: string;
  readonly content: string;
};

type JsonObject = Readonly<Record<string, unknown>>;

const folder = 'operator/events/schemas/generated';

/**
 * The contract for consumers in any language: one JSON Schema per event and version, an AsyncAPI 3 document of all
 * subjects, and types for those in TypeScript. Deterministic: the same schemas give the same bytes.
 */
export function renderEventSchemas(): readonly RenderedFile[] {
  const schemas = releasableSchemas().map(({ type, version, schema }) => ({
    path: `${folder}/${type}@${version}.generated.json`,
    content: json(schema),
  }));
  return [
    ...schemas,
    { path: `${folder}/asyncapi.generated.json`, content: json(asyncApi()) },
    { path: `${folder}/events.generated.d.ts`, content: renderEventTypes() },
  ];
}

/** Every event and version with its JSON Schema (draft 2020-12), in alphabetical order. */
export function releasableSchemas(): readonly { type: string; version: string; schema: JsonObject }[] {
  return Object.entries(eventSchemas)
    .flatMap(([type, versions]) =>
      Object.entries(versions).map(([version, schema]) => ({
        type,
        version,
        schema: jsonSchema(type, version, schema),
      })),
    )
    .sort((a, b) => (a.type + a.version < b.type + b.version ? -1 : 1));
}

function jsonSchema(type: string, version: string, schema: z.ZodType): JsonObject {
  const rendered = z.toJSONSchema(schema, {
    target: 'draft-2020-12',
    unrepresentable: 'throw',
    cycles: 'throw',
    reused: 'inline',
    override: ({ jsonSchema: node }) => {
      // We write strictly and ask consumers to read leniently: the next minor version adds a field.
      if (node.additionalProperties === false) delete node.additionalProperties;
      // The format says it; the pattern beside it is the library's and changes with it.
      if (node.format !== undefined) delete node.pattern;
      if (node.maximum === Number.MAX_SAFE_INTEGER) delete node.maximum;
    },
  });
  return { $id: schemaId(type, version), title: `${type} ${version}`, ...rendered };
}

function asyncApi(): JsonObject {
  const events = releasableSchemas();
  const named = <Value>(value: (event: (typeof events)[number]) => Value) =>
    Object.fromEntries(events.map((event) => [`${event.type}@${event.version}`, value(event)]));
  return {
    asyncapi: '3.0.0',
    info: { title: 'OpenOS events', version: 'v1', description: 'Stored in the JetStream stream OPENOS_EVENTS.' },
    defaultContentType: 'application/json',
    channels: named(({ type, version }) => ({
      address: eventSubject('{tenant}', type, version).replace(encodeURIComponent('{tenant}'), '{tenant}'),
      parameters: { tenant: { description: 'Name of the tenant, percent-encoded where it is no plain token.' } },
      messages: { event: { $ref: `#/components/messages/${type}@${version}` } },
    })),
    operations: named(({ type, version }) => ({
      action: 'send',
      channel: { $ref: `#/channels/${type}@${version}` },
    })),
    components: {
      messages: named(({ type, version, schema }) => ({ name: type, title: `${type} ${version}`, payload: schema })),
    },
  };
}

function json(value: JsonObject): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
