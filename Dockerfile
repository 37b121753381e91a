# Compiled here; of this stage only dist and the packages that it imports go on.
FROM node:24.21.0-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
# The binaries of better-sqlite3 come in its package: no script of a package is needed, and no compiler.
RUN npm ci --ignore-scripts
COPY tsconfig.json .rolldown.mjs ./
COPY src ./src
RUN npm run build && npm prune --omit=dev --ignore-scripts
# What only compilers and other systems want is nearly half of all.
RUN rm -r node_modules/@types node_modules/better-sqlite3/deps node_modules/better-sqlite3/src \
    node_modules/better-sqlite3/prebuilds/darwin-* node_modules/better-sqlite3/prebuilds/win32-* node_modules/better-sqlite3/prebuilds/linuxmusl-*

FROM node:24.21.0-bookworm-slim
# From outside it is reached on every address, and therefore it does not start without a token.
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    PORT=8080 \
    DATABASE_URL=sqlite:/data/app.db \
    MIGRATIONS_DIR=/migrations \
    NODE_COMPILE_CACHE=/app/cache
WORKDIR /app
COPY package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
RUN install -d -o node -g node /app/cache
# The one folder that is written to; the root may be mounted read-only.
RUN install -d -o node -g node /data
VOLUME /data
USER node
COPY .warm.mjs ./
RUN node .warm.mjs
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.PORT + '/livez').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/main.js"]
