/** Everything this project publishes. */
export const allEvents = 'openos.events.>';

/** Any text as one token of a NATS subject, readable where it can be; `textOfToken` is the way back. */
export function subjectToken(text: string): string {
  return encodeURIComponent(text).replaceAll('.', '%2E').replaceAll('*', '%2A');
}

/** The text a token stands for. */
export function textOfToken(token: string): string {
  return decodeURIComponent(token);
}

/** `openos.events.<tenant>.<kind>.<action>.v<major>` */
export function eventSubject(tenantId: string, eventType: string, schemaVersion: string): string {
  return `openos.events.${subjectToken(tenantId)}.${eventType}.v${schemaVersion.split('.', 1)[0]}`;
}
