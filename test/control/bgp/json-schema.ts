/**
 * Just enough of JSON Schema to hold answers against docs/bgp-api.json.
 * @module
 */

export type Schema = {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  oneOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean;
  minimum?: number;
};
type Content = { content: { 'application/json': { schema: Schema } } };
type Operation = { requestBody?: Content; responses: Record<string, Content> };
export type ApiDocument = {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
};

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : typeof value;
}

/** What is wrong with `value`, as `path: why`; empty when it fits. */
export function misfits(api: ApiDocument, schema: Schema, value: unknown, path = '$'): string[] {
  if (schema.$ref !== undefined) {
    const named = api.components.schemas[schema.$ref.split('/').at(-1) ?? ''];
    return named === undefined
      ? [`${path}: no schema ${schema.$ref}`]
      : misfits(api, named, value, path);
  }
  if (schema.oneOf !== undefined) {
    const fits = schema.oneOf.filter((one) => misfits(api, one, value, path).length === 0);
    return fits.length === 1 ? [] : [`${path}: fits ${fits.length} of ${schema.oneOf.length}`];
  }
  const types = [schema.type ?? []].flat();
  if (!types.includes(typeOf(value))) return [`${path}: ${typeOf(value)}, not ${types}`];
  if (schema.enum !== undefined && !schema.enum.includes(value)) return [`${path}: ${value}`];
  if (typeof value === 'number' && value < (schema.minimum ?? value)) return [`${path}: ${value}`];
  if (Array.isArray(value)) {
    return value.flatMap((each, index) =>
      misfits(api, schema.items ?? {}, each, `${path}[${index}]`),
    );
  }
  if (typeof value !== 'object' || value === null) return [];
  const properties = schema.properties ?? {};
  const missing = (schema.required ?? []).filter((key) => !(key in value));
  return [
    ...missing.map((key) => `${path}.${key}: missing`),
    ...Object.entries(value).flatMap(([key, field]) => {
      const known = properties[key];
      return known === undefined
        ? [`${path}.${key}: not described`]
        : misfits(api, known, field, `${path}.${key}`);
    }),
  ];
}
