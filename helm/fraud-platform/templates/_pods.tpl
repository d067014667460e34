{{/* What pods have in common: admission under the restricted profile, no tokens, one user, places to write. */}}

{{/* First lines of a pod's spec: (dict "root" $ "component" ..), "priorityClassName" and "terminationSeconds" if there are any. */}}
{{- define "fraud-platform.pod" -}}
serviceAccountName: {{ include "fraud-platform.name" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .terminationSeconds }}
terminationGracePeriodSeconds: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user | default 10001 }}
  runAsGroup: {{ .user | default 10001 }}
  fsGroup: {{ .user | default 10001 }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.global.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .root.Values.global.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.global.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A container's rights: none. */}}
{{- define "fraud-platform.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Annotations and labels of a pod template: (dict "root" $ "component" ..), "checksum" of what it reads at the start. */}}
{{- define "fraud-platform.podMetadata" -}}
labels:
  {{- include "fraud-platform.labels" . | nindent 2 }}
  {{- with .extraLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := merge (dict) .root.Values.global.podAnnotations }}
{{- with .checksum }}
{{- $_ := set $annotations "checksum/configuration" . }}
{{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* ServiceAccount of a component; its pods do not mount the token. */}}
{{- define "fraud-platform.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "fraud-platform.metadata" . | nindent 2 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end -}}

{{/* Claim of a component: (dict "root" $ "component" .. "persistence" values), "accessMode" if not ReadWriteOnce. */}}
{{- define "fraud-platform.claim" -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- include "fraud-platform.metadata" . | nindent 2 }}
spec:
  accessModes: [{{ .accessMode | default "ReadWriteOnce" }}]
  {{- with .persistence.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests: {storage: {{ .persistence.size }}}
{{- end -}}

{{/* Source of a volume that is a claim, or lasts as long as the pod: (dict "root" $ "component" .. "persistence" values). */}}
{{- define "fraud-platform.claimVolume" -}}
{{- if .persistence.enabled }}
persistentVolumeClaim: {claimName: {{ .persistence.existingClaim | default (include "fraud-platform.name" .) }}}
{{- else }}
emptyDir: {sizeLimit: {{ .persistence.size }}}
{{- end }}
{{- end -}}
