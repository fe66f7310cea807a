export * from './engine/diagnose.ts';
export * from './report/explain.ts';
export { type HtmlExtras, renderHtml } from './report/html/page.ts';
export * from './report/picture.ts';
export * from './report/redact.ts';
export * from './report/report.ts';
export * from './report/text.ts';
