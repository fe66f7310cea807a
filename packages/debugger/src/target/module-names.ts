/** Names of modules as WinDbg shows them. */

/** File names of the kernel image, all shown as `nt`: uniprocessor, multiprocessor, PAE or not. */
const kernelNames = new Set(['ntoskrnl', 'ntkrnlmp', 'ntkrnlpa', 'ntkrpamp', 'ntkrla57', 'ntkrla57e']);

/** Last part of a path of either kind of slash. */
export function baseName(path: string): string {
  return path.slice(Math.max(path.lastIndexOf('\\'), path.lastIndexOf('/')) + 1);
}

/** `nt` for the kernel; else the file name without its extension, with every character that ends a name made `_`. */
export function moduleName(imageName: string): string {
  const file = baseName(imageName);
  const dot = file.lastIndexOf('.');
  const stem = dot > 0 ? file.slice(0, dot) : file;
  if (kernelNames.has(stem.toLowerCase())) return 'nt';
  return stem.replace(/[^A-Za-z0-9_]/g, '_');
}
