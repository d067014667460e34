{{/* Pods of Jobs: what `python -m k8s` starts, and what the chart starts on a schedule, are made here. */}}

{{/* MLflow that trainings are registered in; empty when there is none. Takes the root. */}}
{{- define "fraud-platform.jobsMlflowUrl" -}}
{{- .Values.jobs.mlflowUrl | default (ternary (include "fraud-platform.mlflowUrl" .) "" .Values.mlflow.enabled) -}}
{{- end -}}

{{/* Environment of what trains. The Job's name is the label that its controller gives to pods. Takes the root. */}}
{{- define "fraud-platform.trainingEnvironment" -}}
{{- $global := .Values.global -}}
- name: FRAUD_HOME
  value: /var/lib/fraud
{{- with include "fraud-platform.jobsMlflowUrl" . }}
- name: MLFLOW_TRACKING_URI
  value: {{ . | quote }}
{{- end }}
{{- if eq $global.records.database "postgresql" }}
- name: FRAUD_TUNE_URL
  {{- include "fraud-platform.secretReference" (dict "root" . "existing" $global.postgresql.existingSecret "key" (ternary "records-url" $global.postgresql.existingSecretKey $global.postgresql.deploy)) | nindent 2 }}
{{- end }}
{{- if $global.pseudonyms.existingSecret }}
- name: FRAUD_PSEUDONYM_KEY
  {{- include "fraud-platform.secretReference" (dict "root" . "existing" $global.pseudonyms.existingSecret "key" $global.pseudonyms.existingSecretKey) | nindent 2 }}
{{- end }}
{{- with .Values.jobs.training.signingSecret }}
- name: FRAUD_SIGNING_PRIVATE_KEY
  {{- include "fraud-platform.secretReference" (dict "root" $ "existing" . "key" $.Values.jobs.training.signingSecretKey) | nindent 2 }}
{{- end }}
- name: FRAUD_KUBERNETES_JOB
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/job-name']"}}
- name: FRAUD_KUBERNETES_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: FRAUD_KUBERNETES_POD
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: FRAUD_KUBERNETES_IMAGE
  value: {{ include "fraud-platform.commonImage" (dict "root" . "image" "workers") | quote }}
{{- end -}}

{{/*
Pod that trains: (dict "root" $), "arguments" of `python -m training`, and "claims" that are mounted at /data/CLAIM, read-only.
*/}}
{{- define "fraud-platform.trainingPod" -}}
{{- $names := dict "root" .root "component" "jobs" -}}
{{- $values := .root.Values.jobs.training -}}
metadata:
  {{- include "fraud-platform.podMetadata" $names | nindent 2 }}
spec:
  {{- include "fraud-platform.pod" (merge (dict "priorityClassName" $values.priorityClassName "terminationSeconds" 60) $names) | nindent 2 }}
  restartPolicy: Never
  containers:
    - name: training
      image: {{ include "fraud-platform.commonImage" (dict "root" .root "image" "workers") }}
      imagePullPolicy: {{ .root.Values.global.images.pullPolicy }}
      command: [python, -m, training]
      {{- with .arguments }}
      args:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      env:
        {{- include "fraud-platform.trainingEnvironment" .root | nindent 8 }}
      {{- with include "fraud-platform.serviceEnvironmentFrom" .root }}
      {{- . | nindent 6 }}
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      securityContext:
        {{- include "fraud-platform.containerSecurity" .root | nindent 8 }}
      volumeMounts:
        - {name: home, mountPath: /var/lib/fraud}
        - {name: temporary, mountPath: /tmp}
        - {name: shared-memory, mountPath: /dev/shm}
        {{- range $number, $claim := .claims }}
        - {name: claim-{{ $number }}, mountPath: /data/{{ $claim }}, readOnly: true}
        {{- end }}
  volumes:
    - name: home
      emptyDir: {sizeLimit: {{ $values.temporarySpace }}}
    - name: temporary
      emptyDir: {sizeLimit: {{ $values.temporarySpace }}}
    - name: shared-memory
      emptyDir: {medium: Memory, sizeLimit: {{ $values.sharedMemory }}}
    {{- range $number, $claim := .claims }}
    - name: claim-{{ $number }}
      persistentVolumeClaim: {claimName: {{ $claim }}}
    {{- end }}
{{- end -}}

{{/* Pod that scores files in bulk, with the champion and the settings of servers and workers. Takes the root. */}}
{{- define "fraud-platform.bulkPod" -}}
{{- $names := dict "root" . "component" "jobs" -}}
{{- $values := .Values.jobs.bulk -}}
{{- $scoring := .Values.scoring -}}
{{- $image := .Values.global.images.scoring -}}
metadata:
  {{- include "fraud-platform.podMetadata" $names | nindent 2 }}
spec:
  {{- include "fraud-platform.pod" (merge (dict "priorityClassName" $values.priorityClassName "terminationSeconds" 60) $names) | nindent 2 }}
  restartPolicy: Never
  containers:
    - name: bulk
      image: {{ include "fraud-platform.image" (dict "root" . "repository" ($scoring.champion.repository | default $image.repository) "tag" ($scoring.champion.tag | default $image.tag)) }}
      imagePullPolicy: {{ .Values.global.images.pullPolicy }}
      command: [python, -m, bentos.fraud, bulk]
      env:
        {{- with $scoring.champion.artifact }}
        - name: FRAUD_ARTIFACT
          value: /var/lib/fraud-artifacts/{{ . }}
        {{- end }}
        {{- include "fraud-platform.serviceEnvironment" . | nindent 8 }}
      {{- with include "fraud-platform.serviceEnvironmentFrom" . }}
      {{- . | nindent 6 }}
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      securityContext:
        {{- include "fraud-platform.containerSecurity" . | nindent 8 }}
      volumeMounts:
        {{- include "fraud-platform.serviceMounts" . | nindent 8 }}
        {{- if $scoring.artifacts.existingClaim }}
        - {name: artifacts, mountPath: /var/lib/fraud-artifacts, readOnly: true}
        {{- end }}
  volumes:
    - name: home
      emptyDir: {sizeLimit: {{ $values.temporarySpace }}}
    {{- include "fraud-platform.serviceVolumes" (dict "root" . "temporarySpace" $values.temporarySpace "sharedMemory" $values.sharedMemory) | nindent 4 }}
    {{- with $scoring.artifacts.existingClaim }}
    - name: artifacts
      persistentVolumeClaim: {claimName: {{ . }}, readOnly: true}
    {{- end }}
{{- end -}}
