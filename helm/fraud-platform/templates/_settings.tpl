{{/* The one place where values become FRAUD_* variables. */}}

{{/* Address of the chart's own servers within the namespace. */}}
{{- define "fraud-platform.redisHost" -}}{{ include "fraud-platform.name" (dict "root" . "component" "redis") }}{{- end -}}
{{- define "fraud-platform.postgresqlHost" -}}{{ include "fraud-platform.name" (dict "root" . "component" "postgresql") }}{{- end -}}
{{- define "fraud-platform.serviceUrl" -}}http://{{ include "fraud-platform.name" (dict "root" . "component" "scoring") }}:3000{{- end -}}

{{/* Where Prometheus of the chart would be; the subchart decides whether it is there. */}}
{{- define "fraud-platform.prometheusUrl" -}}http://{{ include "fraud-platform.name" (dict "root" . "component" "prometheus") }}:9090{{- end -}}

{{/* MLflow of the chart. */}}
{{- define "fraud-platform.mlflowUrl" -}}http://{{ include "fraud-platform.name" (dict "root" . "component" "mlflow") }}:5000{{- end -}}

{{/* Where the records are, when several share them; empty when they are a file. Takes the root. */}}
{{- define "fraud-platform.recordsEnvironment" -}}
{{- $global := .Values.global -}}
{{- if eq $global.records.database "postgresql" -}}
- name: FRAUD_RECORDS_URL
  {{- include "fraud-platform.secretReference" (dict "root" . "existing" $global.postgresql.existingSecret "key" (ternary "records-url" $global.postgresql.existingSecretKey $global.postgresql.deploy)) | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Environment of what runs the scoring image: servers, workers of jobs. Takes the root. */}}
{{- define "fraud-platform.serviceEnvironment" -}}
{{- $global := .Values.global -}}
- name: FRAUD_HOME
  value: /var/lib/fraud
- name: FRAUD_FEATURE_STORE
  value: {{ $global.features.store }}
{{- if eq $global.features.store "redis" }}
- name: FRAUD_REDIS_URL
  {{- include "fraud-platform.secretReference" (dict "root" . "existing" $global.redis.existingSecret "key" (ternary "redis-url" $global.redis.existingSecretKey $global.redis.deploy)) | nindent 2 }}
{{- end }}
{{- with include "fraud-platform.recordsEnvironment" . }}
{{ . }}
{{- end }}
{{- if ne $global.queue.broker "none" }}
- name: FRAUD_QUEUE_URL
  {{- include "fraud-platform.secretReference" (dict "root" . "existing" $global.queue.existingSecret "key" (ternary "queue-url" $global.queue.existingSecretKey (eq $global.queue.broker "redis"))) | nindent 2 }}
{{- end }}
{{- if $global.jobs.url }}
- name: FRAUD_JOBS_URL
  value: {{ $global.jobs.url | quote }}
{{- else if $global.jobs.volume.enabled }}
- name: FRAUD_JOBS_URL
  value: /var/lib/fraud-jobs
{{- end }}
{{- if $global.pseudonyms.existingSecret }}
- name: FRAUD_PSEUDONYM_KEY
  {{- include "fraud-platform.secretReference" (dict "root" . "existing" $global.pseudonyms.existingSecret "key" $global.pseudonyms.existingSecretKey) | nindent 2 }}
{{- end }}
{{- if $global.access.allowUnauthenticated }}
- name: FRAUD_ALLOW_UNAUTHENTICATED
  value: "true"
{{- else }}
- name: FRAUD_API_KEYS_FILE
  value: /etc/fraud/keys/keys.json
{{- end }}
{{- range $name, $value := $global.settings }}
- name: FRAUD_{{ upper $name }}
  value: {{ include "fraud-platform.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* A value as the environment holds it: numbers without an exponent, lists with commas. */}}
{{- define "fraud-platform.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq (floor .) . }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else if kindIs "slice" . -}}{{ join "," . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* Environment from secrets whose entries are variables. Takes the root. */}}
{{- define "fraud-platform.serviceEnvironmentFrom" -}}
{{- with .Values.global.jobs.credentialsSecret }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end -}}

{{/* Volumes and mounts of what runs the scoring image, beside its home: (dict "root" $ "temporarySpace" .. "sharedMemory" ..). */}}
{{- define "fraud-platform.serviceVolumes" -}}
- name: temporary
  emptyDir: {sizeLimit: {{ .temporarySpace }}}
- name: shared-memory
  emptyDir: {medium: Memory, sizeLimit: {{ .sharedMemory }}}
{{- if not .root.Values.global.access.allowUnauthenticated }}
- name: keys
  secret:
    secretName: {{ .root.Values.global.access.existingSecret | default (include "fraud-platform.secretName" .root) }}
    items: [{key: keys.json, path: keys.json}]
    defaultMode: 0440
{{- end }}
{{- if and .root.Values.global.jobs.volume.enabled (not .root.Values.global.jobs.url) }}
- name: jobs
  persistentVolumeClaim:
    claimName: {{ .root.Values.global.jobs.volume.existingClaim | default (include "fraud-platform.name" (dict "root" .root "component" "jobs")) }}
{{- end }}
{{- end -}}

{{- define "fraud-platform.serviceMounts" -}}
- {name: home, mountPath: /var/lib/fraud}
- {name: temporary, mountPath: /tmp}
- {name: shared-memory, mountPath: /dev/shm}
{{- if not .Values.global.access.allowUnauthenticated }}
- {name: keys, mountPath: /etc/fraud/keys, readOnly: true}
{{- end }}
{{- if and .Values.global.jobs.volume.enabled (not .Values.global.jobs.url) }}
- {name: jobs, mountPath: /var/lib/fraud-jobs}
{{- end }}
{{- end -}}
