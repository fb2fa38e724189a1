/** What JSON can carry. Everything that crosses a border (body, row, message) has one of these types or a schema's. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject
export type JsonObject = { readonly [key: string]: JsonValue | undefined }
