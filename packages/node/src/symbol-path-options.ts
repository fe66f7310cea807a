/**
 * The symbol path of a run: what `-y` gives, then `_NT_SYMBOL_PATH` and `_NT_ALT_SYMBOL_PATH`, as WinDbg has it. Nothing
 * is fetched unless one of them names a server.
 */
export function symbolPathOf(
  given: readonly string[],
  env: Readonly<Record<string, string | undefined>> = process.env,
): string[] {
  return [...given, env['_NT_ALT_SYMBOL_PATH'], env['_NT_SYMBOL_PATH']].filter(
    (text): text is string => !!text?.trim(),
  );
}

/** The image path: what `-i` gives, then `_NT_EXECUTABLE_IMAGE_PATH`. */
export function imagePathOf(
  given: readonly string[],
  env: Readonly<Record<string, string | undefined>> = process.env,
): string[] {
  return [...given, env['_NT_EXECUTABLE_IMAGE_PATH']].filter((text): text is string => !!text?.trim());
}
