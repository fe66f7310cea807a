export * from './commands/command.ts';
export * from './target/model.ts';
