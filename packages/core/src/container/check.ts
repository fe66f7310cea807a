import { hex, PAGE_SIZE } from '../brands.ts';
import type { FilePages } from '../physical/file-pages.ts';
import type { ContainerInput } from './container.ts';

/** File length against the end of the last page and RequiredDumpSpace, whichever is larger. */
export function checkLength(input: ContainerInput, end: number): void {
  const { cache, header, problems } = input;
  const required = header.requiredDumpSpace ?? 0;
  if (end > cache.size) {
    const missing = Math.ceil((end - cache.size) / PAGE_SIZE);
    problems.add(
      'truncated-file',
      `the file has ${hex(cache.size)} bytes, its pages need ${hex(end)}: ${missing} pages are missing`,
      cache.size,
    );
  } else if (required > cache.size && required < 2 ** 53) {
    problems.add(
      'truncated-file',
      `the file has ${hex(cache.size)} bytes, RequiredDumpSpace is ${hex(required)}: data behind the pages may be missing`,
      0xfa0,
    );
  }
}

/** DirectoryTableBase of the header against the pages. */
export function checkDirectory(input: ContainerInput, pages: FilePages | null): void {
  const { header, problems } = input;
  const base = header.directoryTableBase;
  if (base === null || base === 0) {
    problems.add('header-field-missing', 'DirectoryTableBase was not written: virtual memory cannot be read', 0x10);
  } else if (base >= 2 ** 52) {
    problems.add(
      'directory-table-base-absurd',
      `DirectoryTableBase ${hex(base)} has more than 52 bits: virtual memory cannot be read`,
      0x10,
    );
  } else if (pages !== null && pages.pageOffset(Math.floor(base / PAGE_SIZE)) < 0) {
    const where =
      pages.expectedOffset(Math.floor(base / PAGE_SIZE)) < 0 ? 'not in the dump' : 'beyond the end of the file';
    problems.add(
      'directory-table-missing',
      `the page directory at physical ${hex(base)} is ${where}: virtual memory cannot be read`,
      0x10,
    );
  }
}
